SELECT
  CAST(`o` AS BIGINT) AS `o`,
  CAST(`w` AS BIGINT) AS `w`
FROM (
  SELECT
    `ev`.`o`,
    `st`.`w`
  FROM `ev`
  JOIN `st` ON `ev`.`k` = `st`.`k`
) AS `result`
