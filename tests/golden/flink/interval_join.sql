SELECT
  CAST(`o` AS BIGINT) AS `o`,
  CAST(`o2` AS BIGINT) AS `o2`,
  CAST(`ts` AS TIMESTAMP(3)) AS `ts`
FROM (
  SELECT
    `a`.`o`,
    `c`.`o` AS `o2`,
    `a`.`ts`
  FROM `ev` AS `a`
  JOIN `eu` AS `c` ON `a`.`k` = `c`.`k` AND `c`.`ts` BETWEEN (`a`.`ts` - INTERVAL '10' MINUTE) AND `a`.`ts`
) AS `result`
