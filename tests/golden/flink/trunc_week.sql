SELECT
  CAST(`w` AS TIMESTAMP(3)) AS `w`,
  CAST(`m` AS BIGINT) AS `m`
FROM (
  SELECT
    `eu`.`window_start` AS `w`,
    CAST(SUM(CAST(`eu`.`i` AS BIGINT)) AS BIGINT) AS `m`
  FROM TABLE(TUMBLE(TABLE `eu`, DESCRIPTOR(`ts`), INTERVAL '7' DAY, INTERVAL '4' DAY)) AS `eu`
  GROUP BY `eu`.`window_start`, `eu`.`window_end`
) AS `result`
