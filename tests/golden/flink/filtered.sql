SELECT
  CAST(`o` AS BIGINT) AS `o`,
  CAST(`i` AS INT) AS `i`
FROM (
  SELECT
    `ev`.`o`,
    `ev`.`i`
  FROM `ev`
  WHERE `ev`.`i` > 3 AND `ev`.`seen` IS NOT NULL
) AS `result`
