SELECT
  CAST(`a` AS INT) AS `a`,
  CAST(`c` AS STRING) AS `c`
FROM (
  SELECT
    `v`.`a`,
    `v`.`c`
  FROM (VALUES (1, 'x'), (2, CAST(NULL AS STRING))) AS `v` (`a`, `c`)
) AS `result`
