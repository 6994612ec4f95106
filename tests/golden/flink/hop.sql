SELECT
  CAST(`k` AS STRING) AS `k`,
  CAST(`window_end` AS TIMESTAMP(3)) AS `window_end`,
  CAST(`n` AS BIGINT) AS `n`
FROM (
  SELECT
    `w`.`k`,
    `w`.`window_end`,
    COUNT(*) AS `n`
  FROM TABLE(HOP(TABLE `ev`, DESCRIPTOR(`ts`), INTERVAL '15' MINUTE, INTERVAL '1' HOUR)) AS `w`
  WHERE `w`.`i` > 0
  GROUP BY `w`.`k`, `w`.`window_start`, `w`.`window_end`
  HAVING COUNT(*) > 1
) AS `result`
