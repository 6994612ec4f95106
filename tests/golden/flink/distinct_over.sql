SELECT
  CAST(`k` AS STRING) AS `k`,
  CAST(`ts` AS TIMESTAMP(3)) AS `ts`,
  CAST(`n` AS BIGINT) AS `n`,
  CAST(`m` AS BIGINT) AS `m`
FROM (
  SELECT
    `k`,
    `ts`,
    `n`,
    `m`
  FROM (
    SELECT
      `k`,
      `ts`,
      `n`,
      `m`,
      ROW_NUMBER() OVER (PARTITION BY `k`, `ts`, `n`, `m` ORDER BY `ts`) AS `skw_place`
    FROM (
      SELECT
        `k`,
        `ts`,
        `skw_w1` AS `n`,
        `skw_w2` AS `m`
      FROM (
        SELECT
          `skw_w1`,
          `ts`,
          `k`,
          COUNT(*) OVER (PARTITION BY `k` ORDER BY `ts` RANGE BETWEEN INTERVAL '1' DAY PRECEDING AND CURRENT ROW) AS `skw_w2`
        FROM (
          SELECT
            `k`,
            `ts`,
            NULLIF(COUNT(*) OVER (PARTITION BY `k` ORDER BY `ts` RANGE BETWEEN INTERVAL '1' HOUR PRECEDING AND CURRENT ROW), -1) AS `skw_w1`
          FROM (
            SELECT
              `ev`.`k` AS `k`,
              `ev`.`ts` AS `ts`
            FROM `ev`
          ) AS `skw`
        ) AS `skw`
      ) AS `skw`
    ) AS `skw`
  ) AS `skw`
  WHERE `skw_place` = 1
) AS `result`
