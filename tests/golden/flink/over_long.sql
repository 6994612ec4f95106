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
      `skw_w1`,
      `ts`,
      `o`,
      COUNT(*) OVER (ORDER BY `ts` RANGE BETWEEN INTERVAL '0.5' SECOND PRECEDING AND CURRENT ROW) AS `skw_w2`
    FROM (
      SELECT
        `o`,
        `ts`,
        NULLIF(COUNT(*) OVER (ORDER BY `ts` RANGE BETWEEN INTERVAL '100' DAY(3) PRECEDING AND CURRENT ROW), -1) AS `skw_w1`
      FROM (
        SELECT
          `ev`.`o` AS `o`,
          `ev`.`ts` AS `ts`
        FROM `ev`
      ) AS `skw`
    ) AS `skw`
  ) AS `skw`
) AS `result`
