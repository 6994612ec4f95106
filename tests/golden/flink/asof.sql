SELECT
  CAST(`o` AS BIGINT) AS `o`,
  CAST(`tier` AS STRING) AS `tier`,
  CAST(`v` AS BIGINT) AS `v`,
  CAST(`ts` AS TIMESTAMP(3)) AS `ts`
FROM (
  WITH `skw_version1` AS (
    SELECT `k`, `ts`, `tier`, `v`
    FROM (
      SELECT `k`, `ts`, `tier`, `v`, ROW_NUMBER() OVER (PARTITION BY `k` ORDER BY `ts` DESC) AS `skw_place` FROM `dm`
    )
    WHERE `skw_place` = 1
  )
  SELECT
    `a`.`o`,
    `d`.`tier`,
    `d`.`v`,
    `a`.`ts`
  FROM `ev` AS `a`
  LEFT JOIN `skw_version1` FOR SYSTEM_TIME AS OF `a`.`ts` AS `d` ON `a`.`k` = `d`.`k`
) AS `result`
