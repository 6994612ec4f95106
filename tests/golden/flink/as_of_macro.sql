SELECT
  CAST(`o` AS BIGINT) AS `o`,
  CAST(`tier` AS STRING) AS `tier`,
  CAST(`n` AS BIGINT) AS `n`
FROM (
  WITH `skw_version1` AS (
    SELECT `k`, `ts`, `tier`
    FROM (
      SELECT `k`, `ts`, `tier`, ROW_NUMBER() OVER (PARTITION BY `k` ORDER BY `ts` DESC) AS `skw_place` FROM `dm`
    )
    WHERE `skw_place` = 1
  )
  SELECT
    `j`.`o`,
    `j`.`tier`,
    COUNT(*) OVER (PARTITION BY `j`.`k` ORDER BY `j`.`ts` RANGE BETWEEN INTERVAL '1' HOUR PRECEDING AND CURRENT ROW) AS `n`
  FROM (
    SELECT `skw_left`.*, `skw_right`.`tier` AS `tier`
    FROM `ev` AS `skw_left`
    LEFT JOIN `skw_version1` FOR SYSTEM_TIME AS OF `skw_left`.`ts` AS `skw_right` ON `skw_left`.`k` = `skw_right`.`k`
  ) AS `j`
) AS `result`
