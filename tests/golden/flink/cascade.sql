SELECT
  CAST(`k` AS STRING) AS `k`,
  CAST(`ts` AS TIMESTAMP(3)) AS `ts`,
  CAST(`n` AS BIGINT) AS `n`,
  CAST(`day` AS BIGINT) AS `day`
FROM (
  WITH `h` AS (
    SELECT
      `w`.`k`,
      `w`.`window_end` AS `ts`,
      COUNT(*) AS `n`,
      `w`.`window_time` AS `ts__rowtime`
    FROM TABLE(TUMBLE(TABLE `ev`, DESCRIPTOR(`ts`), INTERVAL '1' HOUR)) AS `w`
    GROUP BY `w`.`k`, `w`.`window_start`, `w`.`window_end`, `w`.`window_time`
  )
  SELECT
    `h`.`k`,
    `h`.`ts`,
    `h`.`n`,
    CAST(SUM(`h`.`n`) OVER (PARTITION BY `h`.`k` ORDER BY `h`.`ts__rowtime` RANGE BETWEEN INTERVAL '1' DAY PRECEDING AND CURRENT ROW) AS BIGINT) AS `day`
  FROM `h`
) AS `result`
