SELECT
  CAST(`o` AS BIGINT) AS `o`,
  CASE WHEN `a` = 0 THEN CAST(0 AS DOUBLE) ELSE CAST(`a` AS DOUBLE) END AS `a`,
  CAST(`b` AS INT) AS `b`,
  CAST(`c` AS INT) AS `c`,
  CAST(`n` AS BIGINT) AS `n`,
  CASE WHEN `t` = 0 THEN CAST(0 AS DOUBLE) ELSE CAST(`t` AS DOUBLE) END AS `t`,
  CAST(`m` AS INT) AS `m`,
  CAST(`p` AS DECIMAL(1,1)) AS `p`,
  CAST(`e` AS INT) AS `e`
FROM (
  SELECT
    `ev`.`o`,
    COALESCE(`ev`.`d`, CAST(1.5e0 AS DOUBLE)) - CAST(0.6666666666666666E0 AS DOUBLE) AS `a`,
    COALESCE(`ev`.`i`, 7) + CAST(5 AS INT) AS `b`,
    CAST(NULL AS INT) AS `c`,
    CAST(NULL AS BIGINT) AS `n`,
    CAST(0.3333333333333333E0 AS DOUBLE) AS `t`,
    -5 AS `m`,
    0.1 AS `p`,
    COALESCE(CAST(NULL AS INT), `ev`.`i`) AS `e`
  FROM `ev`
) AS `result`
