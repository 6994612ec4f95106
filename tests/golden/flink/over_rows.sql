SELECT
  CAST(`o` AS BIGINT) AS `o`,
  CAST(`p` AS INT) AS `p`,
  CAST(`px` AS DECIMAL(10,2)) AS `px`,
  CAST(`po` AS BIGINT) AS `po`,
  CAST(`rn` AS BIGINT) AS `rn`,
  CAST(`s3` AS BIGINT) AS `s3`,
  CAST(`before` AS BIGINT) AS `before`,
  CAST(`nb` AS BIGINT) AS `nb`
FROM (
  SELECT
    `o`,
    `skw_w1` AS `p`,
    `skw_w2` AS `px`,
    `skw_w3` AS `po`,
    `skw_w4` AS `rn`,
    `skw_w5` AS `s3`,
    CASE WHEN (`skw_w6` - CASE WHEN `i` IS NULL THEN 0 ELSE 1 END) > 0 THEN `skw_w7` - COALESCE(`i`, 0) END AS `before`,
    `skw_w6` - CASE WHEN `i` IS NULL THEN 0 ELSE 1 END AS `nb`
  FROM (
    SELECT
      `skw_w5`,
      `skw_w3`,
      `skw_w2`,
      `skw_w1`,
      `x`,
      `k`,
      `ts`,
      `i`,
      `o`,
      `skw_w4`,
      COUNT(`i`) OVER (PARTITION BY `k` ORDER BY `ts` ROWS BETWEEN 3 PRECEDING AND CURRENT ROW) AS `skw_w6`,
      CAST(SUM(CAST(`i` AS BIGINT)) OVER (PARTITION BY `k` ORDER BY `ts` ROWS BETWEEN 3 PRECEDING AND CURRENT ROW) AS BIGINT) AS `skw_w7`
    FROM (
      SELECT
        `skw_w4`,
        `o`,
        `i`,
        `ts`,
        `k`,
        `x`,
        `skw_w1`,
        `skw_w2`,
        `skw_w3`,
        CASE WHEN `ts` >= TIMESTAMP '0001-01-01 00:00:00' THEN CAST(SUM(CAST(`i` AS BIGINT)) OVER (PARTITION BY `k` ORDER BY `ts` ROWS BETWEEN 2 PRECEDING AND CURRENT ROW) AS BIGINT) END AS `skw_w5`
      FROM (
        SELECT
          `skw_w3`,
          `skw_w2`,
          `skw_w1`,
          `x`,
          `k`,
          `ts`,
          `i`,
          `o`,
          NULLIF(ROW_NUMBER() OVER (PARTITION BY `k` ORDER BY `ts`), -1) AS `skw_w4`
        FROM (
          SELECT
            `o`,
            `i`,
            `ts`,
            `k`,
            `x`,
            CASE WHEN `ts` >= TIMESTAMP '0001-01-01 00:00:00' THEN LAG(`i`, 1) OVER (PARTITION BY `k` ORDER BY `ts`) END AS `skw_w1`,
            CASE WHEN `ts` >= TIMESTAMP '0001-01-01 00:00:00' THEN LAG(`x`) OVER (PARTITION BY `k` ORDER BY `ts`) END AS `skw_w2`,
            CASE WHEN `ts` >= TIMESTAMP '0001-01-01 00:00:00' THEN LAG(`o`, 1, CAST(0 AS BIGINT)) OVER (PARTITION BY `k` ORDER BY `ts`) END AS `skw_w3`
          FROM (
            SELECT
              `eu`.`o` AS `o`,
              `eu`.`i` AS `i`,
              `eu`.`ts` AS `ts`,
              `eu`.`k` AS `k`,
              `eu`.`x` AS `x`
            FROM `eu`
          ) AS `skw`
        ) AS `skw`
      ) AS `skw`
    ) AS `skw`
  ) AS `skw`
) AS `result`
