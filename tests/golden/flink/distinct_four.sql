SELECT
  CAST(`k` AS STRING) AS `k`,
  CAST(`c1` AS INT) AS `c1`,
  CAST(`c2` AS INT) AS `c2`,
  CAST(`c3` AS BIGINT) AS `c3`,
  CAST(`c4` AS INT) AS `c4`
FROM (
  SELECT DISTINCT
    `k`,
    `skw_w1` AS `c1`,
    `skw_w2` AS `c2`,
    `skw_w3` AS `c3`,
    `skw_w4` AS `c4`
  FROM (
    SELECT
      `skw_w3`,
      `skw_w1`,
      `ts`,
      `i`,
      `k`,
      `skw_w2`,
      MIN(`i`) OVER (PARTITION BY `k` ORDER BY `ts` RANGE BETWEEN INTERVAL '4' HOUR PRECEDING AND CURRENT ROW) AS `skw_w4`
    FROM (
      SELECT
        `skw_w2`,
        `k`,
        `i`,
        `ts`,
        `skw_w1`,
        NULLIF(COUNT(`i`) OVER (PARTITION BY `k` ORDER BY `ts` RANGE BETWEEN INTERVAL '3' HOUR PRECEDING AND CURRENT ROW), -1) AS `skw_w3`
      FROM (
        SELECT
          `skw_w1`,
          `ts`,
          `i`,
          `k`,
          CASE WHEN `ts` >= TIMESTAMP '0001-01-01 00:00:00' THEN MAX(`i`) OVER (PARTITION BY `k` ORDER BY `ts` RANGE BETWEEN INTERVAL '2' HOUR PRECEDING AND CURRENT ROW) END AS `skw_w2`
        FROM (
          SELECT
            `k`,
            `i`,
            `ts`,
            CASE WHEN `ts` >= TIMESTAMP '0001-01-01 00:00:00' THEN MIN(`i`) OVER (PARTITION BY `k` ORDER BY `ts` RANGE BETWEEN INTERVAL '1' HOUR PRECEDING AND CURRENT ROW) END AS `skw_w1`
          FROM (
            SELECT
              `ev`.`k` AS `k`,
              `ev`.`i` AS `i`,
              `ev`.`ts` AS `ts`
            FROM `ev`
          ) AS `skw`
        ) AS `skw`
      ) AS `skw`
    ) AS `skw`
  ) AS `skw`
) AS `result`
