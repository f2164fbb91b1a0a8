package sqltypes

// Datum is one boxed value, for slow paths: nil for NULL, else the Go type of the type's Phys:
//
//	PhysBool bool | PhysInt64 int64 | PhysFloat64 float64 | PhysNumeric numeric.Dec
//	PhysInterval datetime.Interval | PhysBytes []byte (string is accepted wherever one is written)
type Datum = any
