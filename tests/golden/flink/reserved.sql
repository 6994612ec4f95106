SELECT
  CAST(`select` AS STRING) AS `select`,
  CAST(`order` AS INT) AS `order`,
  CAST(`group` AS BIGINT) AS `group`,
  CAST(`timestamp` AS TIMESTAMP(3)) AS `timestamp`
FROM (
  SELECT
    `table`.`k` AS `select`,
    `table`.`g` AS `order`,
    `table`.`o` AS `group`,
    `table`.`ts` AS `timestamp`
  FROM `ev` AS `table`
) AS `result`
