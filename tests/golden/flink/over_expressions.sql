SELECT
  CAST(`o` AS BIGINT) AS `o`,
  CAST(`x` AS BIGINT) AS `x`,
  CAST(`y` AS BIGINT) AS `y`
FROM (
  SELECT
    `o`,
    CASE WHEN `skw_w1` > 2 THEN `skw_w2` ELSE -1 END AS `x`,
    `skw_w3` AS `y`
  FROM (
    SELECT
      `skw_w2`,
      `o`,
      `ts`,
      `k`,
      `i`,
      `g`,
      `skw_w1`,
      COUNT(*) OVER (PARTITION BY MOD(`g`, 2), UPPER(`k`) ORDER BY `ts` RANGE BETWEEN INTERVAL '1 01:00:01.000' DAY(2) TO SECOND(3) PRECEDING AND CURRENT ROW) AS `skw_w3`
    FROM (
      SELECT
        `skw_w1`,
        `g`,
        `i`,
        `k`,
        `ts`,
        `o`,
        CASE WHEN `ts` >= TIMESTAMP '0001-01-01 00:00:00' THEN CAST(SUM(CAST(`i` AS BIGINT)) OVER (PARTITION BY `k` ORDER BY `ts` RANGE BETWEEN INTERVAL '1' DAY PRECEDING AND CURRENT ROW) AS BIGINT) END AS `skw_w2`
      FROM (
        SELECT
          `o`,
          `ts`,
          `k`,
          `i`,
          `g`,
          NULLIF(COUNT(*) OVER (PARTITION BY `k` ORDER BY `ts` RANGE BETWEEN INTERVAL '1' HOUR PRECEDING AND CURRENT ROW), -1) AS `skw_w1`
        FROM (
          SELECT
            `ev`.`o` AS `o`,
            `ev`.`ts` AS `ts`,
            `ev`.`k` AS `k`,
            `ev`.`i` AS `i`,
            `ev`.`g` AS `g`
          FROM `ev`
        ) AS `skw`
      ) AS `skw`
    ) AS `skw`
  ) AS `skw`
) AS `result`
