SELECT
  CAST(`k` AS STRING) AS `k`,
  CAST(`event_timestamp` AS TIMESTAMP(3)) AS `event_timestamp`,
  CAST(`n` AS BIGINT) AS `n`,
  CAST(`t` AS BIGINT) AS `t`,
  CAST(`xs` AS DECIMAL(38,2)) AS `xs`,
  CAST(`lo` AS INT) AS `lo`,
  CAST(`last` AS TIMESTAMP(6)) AS `last`,
  CAST(`ds` AS BIGINT) AS `ds`,
  CAST(`nb` AS BIGINT) AS `nb`,
  CASE WHEN `av` = 0 THEN CAST(0 AS DOUBLE) ELSE CAST(`av` AS DOUBLE) END AS `av`
FROM (
  SELECT
    `w`.`k`,
    `w`.`window_end` AS `event_timestamp`,
    COUNT(*) AS `n`,
    CAST(SUM(CAST(`w`.`i` AS BIGINT)) AS BIGINT) AS `t`,
    SUM(`w`.`x`) AS `xs`,
    MIN(`w`.`i`) AS `lo`,
    MAX(`w`.`ts`) AS `last`,
    COUNT(DISTINCT `w`.`s`) AS `ds`,
    COUNT(*) FILTER (WHERE `w`.`b`) AS `nb`,
    CAST(SUM(`w`.`x`) AS DOUBLE) / NULLIF(CAST(COUNT(`w`.`x`) AS DOUBLE), 0) AS `av`
  FROM TABLE(TUMBLE(TABLE `ev`, DESCRIPTOR(`ts`), INTERVAL '1' HOUR)) AS `w`
  GROUP BY `w`.`k`, `w`.`window_start`, `w`.`window_end`
) AS `result`
