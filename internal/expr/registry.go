package expr

import (
	"slices"
	"sync"
)

// allFamilies lists the function families, each in the file of its name. To add a family, list it here.
var allFamilies = sync.OnceValue(func() [][]Func {
	return [][]Func{
		compareFuncs(),
		intArithFuncs(),
		floatArithFuncs(),
		numericArithFuncs(),
		mathFuncs(),
		numFormatFuncs(),
		textFuncs(),
		likeFuncs(),
		regexFuncs(),
		byteaFuncs(),
		datetimeFuncs(),
		jsonFuncs(),
		jsonbFuncs(),
		jsonPathFuncs(),
		arrayFuncs(),
		enumFuncs(),
		sessionFuncs(),
		catalogFuncs(),
		boolFuncs(),
	}
})

// aggregates lists the aggregate functions, family by family.
var aggregates = sync.OnceValue(func() []AggFunc {
	return slices.Concat(fixedAggs(), numericAggs(), floatAggs(), pickAggs(), collectAggs(), orderedSetAggs(), percentileAggs(), approxAggs())
})

// tableFuncs lists the set-returning functions.
var tableFuncs = sync.OnceValue(func() []TableFunc {
	return slices.Concat(seriesFuncs(), arrayTableFuncs(), textTableFuncs(), jsonTableFuncs(), jsonPathTableFuncs())
})
