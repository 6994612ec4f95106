SELECT
  CAST(`o` AS BIGINT) AS `o`,
  CAST(`a` AS TIMESTAMP(6)) AS `a`,
  CAST(`c` AS TIMESTAMP(6)) AS `c`,
  CAST(`e` AS BIGINT) AS `e`,
  CAST(`f` AS BIGINT) AS `f`,
  CASE WHEN `h` = 0 THEN CAST(0 AS DOUBLE) ELSE CAST(`h` AS DOUBLE) END AS `h`,
  CAST(`j` AS STRING) AS `j`,
  CAST(`k1` AS BIGINT) AS `k1`
FROM (
  SELECT
    `ev`.`o`,
    FLOOR((`ev`.`seen` + INTERVAL '1' YEAR) TO MONTH) AS `a`,
    FLOOR((`ev`.`ts` + INTERVAL '1' DAY) TO HOUR) AS `c`,
    CAST(TIMESTAMPDIFF(MONTH, FLOOR(CAST(`ev`.`dt` AS TIMESTAMP(6)) TO MONTH), FLOOR((`ev`.`ts` + INTERVAL '1' YEAR) TO MONTH)) AS BIGINT) AS `e`,
    EXTRACT(MONTH FROM `ev`.`seen` - INTERVAL '1' YEAR) AS `f`,
    CAST(2.5E0 AS DOUBLE) AS `h`,
    TO_BASE64(`ev`.`u`) AS `j`,
    MOD(CAST(FLOOR(EXTRACT(MICROSECOND FROM `ev`.`seen`)) AS BIGINT), 1000000) AS `k1`
  FROM `ev`
) AS `result`
