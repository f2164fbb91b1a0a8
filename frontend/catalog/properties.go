package catalog

import "github.com/millrace/millrace/internal/sqltypes"

// What pg_index_column_has_property and its kin say about the one kind of index there is.

func indexColumnProperty(c *call) (sqltypes.Datum, error) {
	x, ok := c.index(c.oid(0))
	n := c.oid(1)
	if !ok || n < 1 || n > int64(len(x.keys)) {
		return nil, nil
	}
	k := x.keys[n-1]
	switch c.mustText(2) {
	case "asc":
		return !k.desc, nil
	case "desc":
		return k.desc, nil
	case "nulls_first":
		return k.nullsFirst, nil
	case "nulls_last":
		return !k.nullsFirst, nil
	case "orderable", "returnable", "search_nulls":
		return true, nil
	case "distance_orderable", "search_array":
		return false, nil
	}
	return nil, nil
}

func indexProperty(c *call) (sqltypes.Datum, error) {
	if _, ok := c.index(c.oid(0)); !ok {
		return nil, nil
	}
	switch c.mustText(1) {
	case "index_scan":
		return true, nil
	case "clusterable", "bitmap_scan", "backward_scan":
		return false, nil
	}
	return nil, nil
}

func accessMethodProperty(c *call) (sqltypes.Datum, error) {
	if c.oid(0) != oidBtree {
		return nil, nil
	}
	switch c.mustText(1) {
	case "can_order", "can_unique", "can_multi_col", "can_include":
		return true, nil
	case "can_exclude":
		return false, nil
	}
	return nil, nil
}
