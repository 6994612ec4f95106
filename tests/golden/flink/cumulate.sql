SELECT
  CAST(`k` AS STRING) AS `k`,
  CAST(`window_end` AS TIMESTAMP(3)) AS `window_end`,
  CAST(`n` AS BIGINT) AS `n`
FROM (
  SELECT
    `w`.`k`,
    `w`.`window_end`,
    COUNT(*) AS `n`
  FROM TABLE(CUMULATE(TABLE `ev`, DESCRIPTOR(`ts`), INTERVAL '1' HOUR, INTERVAL '6' HOUR)) AS `w`
  GROUP BY `w`.`k`, `w`.`window_start`, `w`.`window_end`
) AS `result`
