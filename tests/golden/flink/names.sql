SELECT
  CAST(`odd name` AS BIGINT) AS `Odd Name`,
  CAST(`i"q` AS INT) AS `i"q`,
  CAST(`g``` AS INT) AS `g```
FROM (
  SELECT
    `ev`.`o` AS `odd name`,
    `ev`.`i` AS `i"q`,
    `ev`.`g` AS `g```
  FROM `ev`
) AS `result`
