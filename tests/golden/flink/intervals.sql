SELECT
  CAST(`o` AS BIGINT) AS `o`,
  CAST(`a` AS TIMESTAMP(6)) AS `a`,
  CAST(`c` AS TIMESTAMP(6)) AS `c`,
  CAST(`e` AS TIMESTAMP(6)) AS `e`,
  CAST(`f` AS TIMESTAMP(6)) AS `f`,
  CAST(`h` AS TIMESTAMP(6)) AS `h`,
  CAST(`j` AS TIMESTAMP(6)) AS `j`,
  CAST(`m` AS TIMESTAMP(6)) AS `m`
FROM (
  SELECT
    `ev`.`o`,
    `ev`.`ts` + INTERVAL '0 01:00:00.000' DAY(2) TO SECOND(3) AS `a`,
    `ev`.`ts` - INTERVAL '0.25' SECOND AS `c`,
    `ev`.`ts` + INTERVAL '0.25' SECOND AS `e`,
    `ev`.`ts` + INTERVAL '3' MONTH AS `f`,
    `ev`.`ts` + INTERVAL '400' DAY(3) AS `h`,
    `ev`.`ts` + INTERVAL '41 16:00:00.000' DAY(2) TO SECOND(3) AS `j`,
    `ev`.`ts` + INTERVAL '125-0' YEAR(3) TO MONTH AS `m`
  FROM `ev`
) AS `result`
