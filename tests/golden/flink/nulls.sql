SELECT
  CAST(`o` AS BIGINT) AS `o`,
  CAST(`a` AS INT) AS `a`,
  CAST(`c` AS INT) AS `c`,
  CAST(`e` AS INT) AS `e`,
  CAST(`f` AS INT) AS `f`,
  CAST(`h` AS DECIMAL(10,2)) AS `h`,
  CAST(`j` AS TIMESTAMP(6)) AS `j`,
  CAST(`k1` AS STRING) AS `k1`,
  CAST(`k2` AS INT) AS `k2`,
  CAST(`m1` AS STRING) AS `m1`,
  CAST(`n1` AS DECIMAL(10,2)) AS `n1`,
  CASE WHEN `p1` = 0 THEN CAST(0 AS DOUBLE) ELSE CAST(`p1` AS DOUBLE) END AS `p1`
FROM (
  SELECT
    `ev`.`o`,
    COALESCE(`ev`.`i`, `ev`.`g`) AS `a`,
    NULLIF(`ev`.`i`, `ev`.`g`) AS `c`,
    GREATEST(COALESCE(`ev`.`i`, `ev`.`g`, 5), `ev`.`g`, 5) AS `e`,
    LEAST(COALESCE(`ev`.`i`, `ev`.`g`), `ev`.`g`) AS `f`,
    GREATEST(COALESCE(`ev`.`x`, 1.5), 1.5) AS `h`,
    LEAST(`ev`.`ts`, COALESCE(`ev`.`seen`, `ev`.`ts`)) AS `j`,
    CASE WHEN `ev`.`i` > 0 THEN 'pos' WHEN `ev`.`i` < 0 THEN 'negative' END AS `k1`,
    CASE `ev`.`g` WHEN 1 THEN `ev`.`i` WHEN 2 THEN CAST(NULL AS INT) ELSE 3 END AS `k2`,
    COALESCE(`ev`.`s`, '') AS `m1`,
    CASE WHEN `ev`.`b` THEN `ev`.`x` ELSE 1 END AS `n1`,
    CASE WHEN `ev`.`i` IS NULL THEN CAST(NULL AS DOUBLE) ELSE `ev`.`d` END AS `p1`
  FROM `ev`
) AS `result`
