SELECT
  CAST(`o` AS BIGINT) AS `o`,
  CAST(`n` AS BIGINT) AS `n`,
  CAST(`m` AS BIGINT) AS `m`
FROM (
  SELECT
    `o`,
    `skw_w1` AS `n`,
    `skw_w2` AS `m`
  FROM (
    SELECT
      `skw_w2`,
      `o`,
      `ts`,
      `k`,
      `skw_w1`,
      COUNT(*) OVER (PARTITION BY `k` ORDER BY `ts` RANGE BETWEEN INTERVAL '10' MINUTE PRECEDING AND CURRENT ROW) AS `skw_w3`
    FROM (
      SELECT
        `skw_w1`,
        `k`,
        `ts`,
        `o`,
        NULLIF(COUNT(*) OVER (PARTITION BY `k` ORDER BY `ts` RANGE BETWEEN INTERVAL '1' DAY PRECEDING AND CURRENT ROW), -1) AS `skw_w2`
      FROM (
        SELECT
          `o`,
          `ts`,
          `k`,
          NULLIF(COUNT(*) OVER (PARTITION BY `k` ORDER BY `ts` RANGE BETWEEN INTERVAL '1' HOUR PRECEDING AND CURRENT ROW), -1) AS `skw_w1`
        FROM (
          SELECT
            `ev`.`o` AS `o`,
            `ev`.`ts` AS `ts`,
            `ev`.`k` AS `k`
          FROM `ev`
        ) AS `skw`
      ) AS `skw`
    ) AS `skw`
  ) AS `skw`
  WHERE `skw_w3` > 1 AND `skw_w1` > 0
) AS `result`
