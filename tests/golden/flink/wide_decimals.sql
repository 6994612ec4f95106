SELECT
  CAST(`o` AS BIGINT) AS `o`,
  CAST(`a` AS BOOLEAN) AS `a`,
  CAST(`c` AS BOOLEAN) AS `c`,
  CAST(`j` AS BOOLEAN) AS `j`,
  CAST(`e` AS DECIMAL(38,2)) AS `e`,
  CAST(`m` AS DECIMAL(10,2)) AS `m`
FROM (
  SELECT
    `ev`.`o`,
    CAST(`ev`.`x` AS DECIMAL(38,2)) <> CAST(CAST(`ev`.`l` AS DECIMAL(38,0)) AS DECIMAL(38,2)) AS `a`,
    CAST(`ev`.`x` AS DECIMAL(38,2)) BETWEEN CAST(CAST(`ev`.`l` AS DECIMAL(38,0)) AS DECIMAL(38,2)) AND CAST(5 AS DECIMAL(38,2)) AS `c`,
    CAST(`ev`.`x` AS DECIMAL(38,2)) IN (CAST(CAST(`ev`.`l` AS DECIMAL(38,0)) AS DECIMAL(38,2)), CAST(2.5 AS DECIMAL(38,2))) AS `j`,
    COALESCE(CAST(`ev`.`l` AS DECIMAL(36,0)), `ev`.`x`) AS `e`,
    CASE WHEN CAST(`ev`.`x` AS DECIMAL(38,2)) = CAST(CAST(`ev`.`g` AS DECIMAL(38,0)) AS DECIMAL(38,2)) THEN NULL ELSE `ev`.`x` END AS `m`
  FROM `ev`
) AS `result`
