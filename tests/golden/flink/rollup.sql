SELECT
  CAST(`k` AS STRING) AS `k`,
  CAST(`n` AS BIGINT) AS `n`
FROM (
  SELECT
    COALESCE(`ev`.`k`, '-') AS `k`,
    COUNT(*) AS `n`
  FROM `ev`
  GROUP BY ROLLUP (`ev`.`k`)
) AS `result`
