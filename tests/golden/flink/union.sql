SELECT
  CAST(`o` AS BIGINT) AS `o`,
  CAST(`i` AS INT) AS `i`
FROM (
  SELECT
    `ev`.`o`,
    `ev`.`i`
  FROM `ev`
  WHERE `ev`.`g` = 0
  UNION ALL
  SELECT
    `eu`.`o`,
    `eu`.`i`
  FROM `eu`
  WHERE `eu`.`g` = 1
  UNION ALL
  SELECT
    `eu`.`o`,
    `eu`.`g`
  FROM `eu`
) AS `result`
