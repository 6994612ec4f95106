SELECT
  CAST(`o` AS BIGINT) AS `o`
FROM (
  SELECT
    `ev`.`o`
  FROM `ev`
  WHERE EXISTS (SELECT
    1
  FROM `st`
  WHERE `st`.`k` = `ev`.`k`) AND `ev`.`g` IN (SELECT
    `st`.`w`
  FROM `st`)
) AS `result`
