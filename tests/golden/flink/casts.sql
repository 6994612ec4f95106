SELECT
  CAST(`o` AS BIGINT) AS `o`,
  CAST(`a` AS BIGINT) AS `a`,
  CASE WHEN `f` = 0 THEN CAST(0 AS DOUBLE) ELSE CAST(`f` AS DOUBLE) END AS `f`,
  CAST(`e` AS DECIMAL(12,2)) AS `e`,
  CASE WHEN `g` = 0 THEN CAST(0 AS DOUBLE) ELSE CAST(`g` AS DOUBLE) END AS `g`,
  CAST(`h` AS INT) AS `h`,
  CAST(`bl` AS BIGINT) AS `bl`,
  CAST(`ib` AS BOOLEAN) AS `ib`,
  CAST(`s1` AS STRING) AS `s1`,
  CAST(`s2` AS STRING) AS `s2`,
  CAST(`s3` AS STRING) AS `s3`,
  CAST(`t1` AS TIMESTAMP(6)) AS `t1`,
  CAST(`t2` AS DATE) AS `t2`,
  CAST(`l2` AS DECIMAL(20,0)) AS `l2`,
  CAST(`c1` AS DATE) AS `c1`,
  CAST(`c2` AS TIMESTAMP(6)) AS `c2`,
  CAST(`c3` AS DATE) AS `c3`,
  CAST(`x4` AS DECIMAL(12,4)) AS `x4`,
  CAST(`x0` AS DECIMAL(9,0)) AS `x0`
FROM (
  SELECT
    `ev`.`o`,
    CAST(`ev`.`i` AS BIGINT) AS `a`,
    CAST(`ev`.`i` AS DOUBLE) AS `f`,
    CAST(`ev`.`i` AS DECIMAL(12,2)) AS `e`,
    CAST(`ev`.`x` AS DOUBLE) AS `g`,
    CASE WHEN `ev`.`b` THEN 1 WHEN NOT `ev`.`b` THEN 0 END AS `h`,
    CAST(CASE WHEN `ev`.`b` THEN 1 WHEN NOT `ev`.`b` THEN 0 END AS BIGINT) AS `bl`,
    `ev`.`i` <> 0 AS `ib`,
    CAST(`ev`.`i` AS STRING) AS `s1`,
    CAST(`ev`.`x` AS STRING) AS `s2`,
    CAST(`ev`.`dt` AS STRING) AS `s3`,
    CAST(`ev`.`dt` AS TIMESTAMP(6)) AS `t1`,
    CAST(`ev`.`ts` AS DATE) AS `t2`,
    CAST(`ev`.`l` AS DECIMAL(20,0)) AS `l2`,
    DATE '2024-02-29' AS `c1`,
    TIMESTAMP '2024-02-29 12:34:56.789' AS `c2`,
    DATE '2024-03-01' AS `c3`,
    CAST(`ev`.`x` AS DECIMAL(12,4)) AS `x4`,
    CAST(`ev`.`x` AS DECIMAL(9,0)) AS `x0`
  FROM `ev`
  WHERE ABS(`ev`.`x`) < 1000 OR `ev`.`x` IS NULL
) AS `result`
