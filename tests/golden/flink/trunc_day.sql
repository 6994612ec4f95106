SELECT
  CAST(`k` AS STRING) AS `k`,
  CAST(`event_timestamp` AS TIMESTAMP(3)) AS `event_timestamp`,
  CAST(`n` AS BIGINT) AS `n`
FROM (
  SELECT
    `ev`.`k`,
    `ev`.`window_start` + INTERVAL '1' DAY AS `event_timestamp`,
    COUNT(*) AS `n`
  FROM TABLE(TUMBLE(TABLE `ev`, DESCRIPTOR(`ts`), INTERVAL '1' DAY)) AS `ev`
  WHERE `ev`.`g` > 0
  GROUP BY `ev`.`k`, `ev`.`window_start`, `ev`.`window_end`
  HAVING COUNT(*) > 1
) AS `result`
