SELECT
  CAST(`o` AS BIGINT) AS `o`,
  CAST(`tier` AS STRING) AS `tier`
FROM (
  WITH `skw_version1` AS (
    SELECT `k`, `ts`, `tier`
    FROM (
      SELECT `k`, `ts`, `tier`, ROW_NUMBER() OVER (PARTITION BY `k` ORDER BY `ts` DESC) AS `skw_place` FROM `dm`
    )
    WHERE `skw_place` = 1
  )
  SELECT
    `a`.`o`,
    `d`.`tier`
  FROM (
    SELECT
      `ev`.`o`,
      `ev`.`k`,
      `ev`.`g`,
      `ev`.`ts`,
      `ev`.`i`,
      `ev`.`l`,
      `ev`.`x`,
      `ev`.`d`,
      `ev`.`s`,
      `ev`.`u`,
      `ev`.`b`,
      `ev`.`dt`,
      `ev`.`seen`
    FROM `ev`
    WHERE `ev`.`i` IS NOT NULL
  ) AS `a`
  JOIN `skw_version1` FOR SYSTEM_TIME AS OF `a`.`ts` AS `d` ON `a`.`k` = `d`.`k`
) AS `result`
