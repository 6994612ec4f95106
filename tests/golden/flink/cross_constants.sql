SELECT
  CAST(`o` AS BIGINT) AS `o`,
  CAST(`a` AS INT) AS `a`
FROM (
  SELECT
    `ev`.`o`,
    `v`.`a`
  FROM `ev`
  CROSS JOIN (VALUES (1), (2)) AS `v` (`a`)
  WHERE `ev`.`o` < 10
) AS `result`
