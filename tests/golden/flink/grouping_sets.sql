SELECT
  CAST(`g` AS INT) AS `g`,
  CAST(`k` AS STRING) AS `k`,
  CAST(`n` AS BIGINT) AS `n`
FROM (
  SELECT
    COALESCE(`ev`.`g`, -1) AS `g`,
    `ev`.`k`,
    COUNT(*) AS `n`
  FROM `ev`
  GROUP BY GROUPING SETS ((`ev`.`g`, `ev`.`k`), (`ev`.`g`))
) AS `result`
