SELECT
  CAST(`o` AS BIGINT) AS `o`,
  CAST(`ts` AS TIMESTAMP(3)) AS `ts`,
  CAST(`n` AS BIGINT) AS `n`,
  CAST(`t` AS BIGINT) AS `t`,
  CAST(`f` AS BIGINT) AS `f`,
  CASE WHEN `av` = 0 THEN CAST(0 AS DOUBLE) ELSE CAST(`av` AS DOUBLE) END AS `av`,
  CAST(`every` AS BIGINT) AS `every`
FROM (
  SELECT
    `o`,
    `ts`,
    `skw_w1` AS `n`,
    `skw_w2` AS `t`,
    `skw_w3` AS `f`,
    CAST(`skw_w4` AS DOUBLE) / NULLIF(CAST(`skw_w5` AS DOUBLE), 0) AS `av`,
    `skw_w6` AS `every`
  FROM (
    SELECT
      `skw_w3`,
      `skw_w1`,
      `g`,
      `b`,
      `x`,
      `i`,
      `k`,
      `ts`,
      `o`,
      `skw_w2`,
      `skw_w4`,
      `skw_w5`,
      COUNT(*) OVER (PARTITION BY `k`, `g` ORDER BY `ts` RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS `skw_w6`
    FROM (
      SELECT
        `skw_w5`,
        `skw_w4`,
        `skw_w2`,
        `o`,
        `ts`,
        `k`,
        `i`,
        `x`,
        `b`,
        `g`,
        `skw_w1`,
        NULLIF(COUNT(CASE WHEN `b` THEN 1 END) OVER (PARTITION BY `k` ORDER BY `ts` RANGE BETWEEN INTERVAL '10' MINUTE PRECEDING AND CURRENT ROW), -1) AS `skw_w3`
      FROM (
        SELECT
          `skw_w1`,
          `g`,
          `b`,
          `x`,
          `i`,
          `k`,
          `ts`,
          `o`,
          CASE WHEN `ts` >= TIMESTAMP '0001-01-01 00:00:00' THEN CAST(SUM(CAST(`i` AS BIGINT)) OVER (PARTITION BY `k` ORDER BY `ts` RANGE BETWEEN INTERVAL '1' DAY PRECEDING AND CURRENT ROW) AS BIGINT) END AS `skw_w2`,
          CASE WHEN `ts` >= TIMESTAMP '0001-01-01 00:00:00' THEN SUM(`x`) OVER (PARTITION BY `k` ORDER BY `ts` RANGE BETWEEN INTERVAL '1' DAY PRECEDING AND CURRENT ROW) END AS `skw_w4`,
          NULLIF(COUNT(`x`) OVER (PARTITION BY `k` ORDER BY `ts` RANGE BETWEEN INTERVAL '1' DAY PRECEDING AND CURRENT ROW), -1) AS `skw_w5`
        FROM (
          SELECT
            `o`,
            `ts`,
            `k`,
            `i`,
            `x`,
            `b`,
            `g`,
            NULLIF(COUNT(*) OVER (PARTITION BY `k` ORDER BY `ts` RANGE BETWEEN INTERVAL '1' HOUR PRECEDING AND CURRENT ROW), -1) AS `skw_w1`
          FROM (
            SELECT
              `ev`.`o` AS `o`,
              `ev`.`ts` AS `ts`,
              `ev`.`k` AS `k`,
              `ev`.`i` AS `i`,
              `ev`.`x` AS `x`,
              `ev`.`b` AS `b`,
              `ev`.`g` AS `g`
            FROM `ev`
          ) AS `skw`
        ) AS `skw`
      ) AS `skw`
    ) AS `skw`
  ) AS `skw`
) AS `result`
