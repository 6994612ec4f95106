SELECT
  CAST(`o` AS BIGINT) AS `o`,
  CAST(`x` AS INT) AS `x`,
  CAST(`y` AS BOOLEAN) AS `y`,
  CAST(`z` AS BOOLEAN) AS `z`
FROM (
  SELECT
    `ev`.`o`,
    CAST(NULL AS INT) AS `x`,
    `ev`.`i` = CAST(NULL AS INT) AS `y`,
    `ev`.`b` AND CAST(NULL AS BOOLEAN) AS `z`
  FROM `ev`
  UNION ALL
  SELECT
    `eu`.`o`,
    `eu`.`i`,
    `eu`.`b`,
    CAST(NULL AS BOOLEAN)
  FROM `eu`
) AS `result`
