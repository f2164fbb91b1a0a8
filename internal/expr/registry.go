package expr

import (
	"slices"
	"sync"
)

// Family is a group of entries with a page of its own in the reference.
type Family struct {
	Name, Title string
	Funcs       []Func
	Aggs        []AggFunc
	Tables      []TableFunc
}

// Families lists the library, each family in the files of its name. To add a family, list it here. The entries must not
// be changed.
var Families = sync.OnceValue(func() []Family {
	list := []Family{
		{Name: "comparison", Title: "Comparison", Funcs: compareFuncs()},
		{Name: "boolean", Title: "Logic", Funcs: boolFuncs()},
		{Name: "arithmetic", Title: "Arithmetic", Funcs: slices.Concat(intArithFuncs(), floatArithFuncs(), numericArithFuncs())},
		{Name: "math", Title: "Mathematics", Funcs: mathFuncs()},
		{Name: "text", Title: "Text", Funcs: slices.Concat(textFuncs(), unicodeFuncs(), identFuncs()), Tables: textTableFuncs()},
		{Name: "pattern", Title: "Pattern matching", Funcs: slices.Concat(likeFuncs(), regexFuncs())},
		{Name: "binary", Title: "Binary strings, digests, ciphers", Funcs: slices.Concat(byteaFuncs(), cryptoFuncs())},
		{Name: "bit", Title: "Bit strings", Funcs: bitsFuncs()},
		{Name: "formatting", Title: "Formatting of numbers", Funcs: numFormatFuncs()},
		{Name: "datetime", Title: "Dates and times", Funcs: datetimeFuncs()},
		{Name: "json", Title: "JSON", Funcs: slices.Concat(jsonFuncs(), jsonbFuncs(), recordFuncs()), Tables: slices.Concat(jsonTableFuncs(), recordTableFuncs())},
		{Name: "jsonpath", Title: "SQL/JSON path", Funcs: jsonPathFuncs(), Tables: jsonPathTableFuncs()},
		{Name: "array", Title: "Arrays", Funcs: slices.Concat(arrayFuncs(), moreArrayFuncs()), Tables: arrayTableFuncs()},
		{Name: "enum", Title: "Enums", Funcs: enumFuncs()},
		{Name: "map", Title: "Maps", Funcs: mapFuncs()},
		{Name: "vector", Title: "Vectors", Funcs: vectorFuncs()},
		{Name: "series", Title: "Series", Tables: seriesFuncs()},
		{Name: "aggregate", Title: "Aggregates", Aggs: slices.Concat(fixedAggs(), bitsAggs(), numericAggs(), floatAggs(), vectorAggs(), pickAggs(), collectAggs(),
			orderedSetAggs(), percentileAggs(), approxAggs())},
		{Name: "session", Title: "Session", Funcs: sessionFuncs()},
		{Name: "catalog", Title: "Catalog and administration", Funcs: catalogFuncs()},
	}
	return append(list, Family{Name: "operator", Title: "Functions behind operators", Funcs: operatorFuncs(list)})
})

// aggregates lists the aggregate functions.
var aggregates = sync.OnceValue(func() []AggFunc {
	var out []AggFunc
	for _, f := range Families() {
		out = append(out, f.Aggs...)
	}
	return out
})

// tableFuncs lists the set-returning functions.
var tableFuncs = sync.OnceValue(func() []TableFunc {
	var out []TableFunc
	for _, f := range Families() {
		out = append(out, f.Tables...)
	}
	return out
})
