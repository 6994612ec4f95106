SELECT
  CAST(`k` AS STRING) AS `k`,
  CAST(`ts` AS TIMESTAMP(3)) AS `ts`,
  CAST(`n` AS BIGINT) AS `n`
FROM (
  SELECT
    `empty`.`k`,
    `empty`.`ts`,
    COUNT(*) OVER (PARTITION BY `empty`.`k` ORDER BY `empty`.`ts` RANGE BETWEEN INTERVAL '1' HOUR PRECEDING AND CURRENT ROW) AS `n`
  FROM `empty`
) AS `result`
