// Package elementary computes exponentials, logarithms, powers, roots, and the trigonometric and hyperbolic functions
// of float64, correctly rounded but for about one argument in a billion.
//
// The idea: what people see of a float is its shortest text, so that a last bit that is wrong makes log(1000) 2.9999999999999996.
// Package math is off by a bit often, and by several in Pow and Log10. Here everything is computed with twice the
// digits, as an unevaluated sum of two floats (double), and rounded once. Inverse functions take package math's answer
// and improve it by one or two steps of Newton's method.
//
// Everything is pure. Special values are those of package math.
//
// Invariants: a double is normalized: hi is the float nearest to hi + lo.
//
// It checks no domains and raises no errors of SQL (internal/expr does). Start at Exp.
package elementary
