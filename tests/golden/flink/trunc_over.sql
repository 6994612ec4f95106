SELECT
  CAST(`k` AS STRING) AS `k`,
  CAST(`ts` AS TIMESTAMP(3)) AS `ts`,
  CAST(`s` AS BIGINT) AS `s`
FROM (
  WITH `h` AS (
    SELECT
      `ev`.`k`,
      `ev`.`window_start` + INTERVAL '1' HOUR AS `ts`,
      COUNT(*) AS `n`,
      `ev`.`window_time` AS `ts__rowtime`
    FROM TABLE(TUMBLE(TABLE `ev`, DESCRIPTOR(`ts`), INTERVAL '1' HOUR)) AS `ev`
    GROUP BY `ev`.`k`, `ev`.`window_start`, `ev`.`window_end`, `ev`.`window_time`
  )
  SELECT
    `h`.`k`,
    `h`.`ts`,
    CAST(SUM(`h`.`n`) OVER (PARTITION BY `h`.`k` ORDER BY `h`.`ts__rowtime` RANGE BETWEEN INTERVAL '1' DAY PRECEDING AND CURRENT ROW) AS BIGINT) AS `s`
  FROM `h`
) AS `result`
