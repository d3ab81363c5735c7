-- Stock by location, and the same worked out from all movements: `difference` is 0 in each row.
SELECT item, location, stock.quantity, coalesce(moved.quantity, 0) AS moved,
       stock.quantity - coalesce(moved.quantity, 0) AS difference
FROM stock
FULL JOIN (
  SELECT item, location, sum(quantity) AS quantity
  FROM (
    SELECT item, target AS location, quantity FROM movements
    UNION ALL
    SELECT item, origin, -quantity FROM movements
  ) AS both_ends
  GROUP BY item, location
) AS moved USING (item, location)
ORDER BY item, location;
