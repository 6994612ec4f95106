SELECT
  CAST(`o` AS BIGINT) AS `o`,
  CASE WHEN `z` = 0 THEN CAST(0 AS DOUBLE) ELSE CAST(`z` AS DOUBLE) END AS `z`,
  CASE WHEN `y` = 0 THEN CAST(0 AS DOUBLE) ELSE CAST(`y` AS DOUBLE) END AS `y`,
  CASE WHEN `e` = 0 THEN CAST(0 AS DOUBLE) ELSE CAST(`e` AS DOUBLE) END AS `e`
FROM (
  SELECT
    `ev`.`o`,
    `ev`.`d` * 0 AS `z`,
    CASE WHEN ABS(`ev`.`d`) = 0 THEN -`ev`.`d` ELSE `ev`.`d` END AS `y`,
    CAST(`ev`.`d` AS DOUBLE) AS `e`
  FROM `ev`
) AS `result`
