package expr

// NamedParam is a parameter that calls may name.
type NamedParam struct {
	Name string
	// Default is the literal that stands for an argument left out, in the syntax of the parameter's type; "" for
	// parameters that must be given.
	Default string
}

func required(names ...string) []NamedParam {
	out := make([]NamedParam, len(names))
	for i, n := range names {
		out[i] = NamedParam{Name: n}
	}
	return out
}

// params lists the parameters of the functions that have names for them, by function.
var params = map[string][]NamedParam{
	"make_date": required("year", "month", "day"),
	"make_interval": {{"years", "0"}, {"months", "0"}, {"weeks", "0"}, {"days", "0"}, {"hours", "0"},
		{"mins", "0"}, {"secs", "0"}},
	"make_time":        required("hour", "min", "sec"),
	"make_timestamp":   required("year", "month", "mday", "hour", "min", "sec"),
	"make_timestamptz": required("year", "month", "mday", "hour", "min", "sec", "timezone"),

	"json_array_element":       required("from_json", "element_index"),
	"json_array_element_text":  required("from_json", "element_index"),
	"json_object_field":        required("from_json", "field_name"),
	"json_object_field_text":   required("from_json", "field_name"),
	"json_populate_record":     append(required("base", "from_json"), NamedParam{"use_json_as_text", "false"}),
	"json_populate_recordset":  append(required("base", "from_json"), NamedParam{"use_json_as_text", "false"}),
	"jsonb_array_element":      required("from_json", "element_index"),
	"jsonb_array_element_text": required("from_json", "element_index"),
	"jsonb_object_field":       required("from_json", "field_name"),
	"jsonb_object_field_text":  required("from_json", "field_name"),
	"json_array_elements":      required("from_json"),
	"json_array_elements_text": required("from_json"),
	"json_each":                required("from_json"),
	"json_each_text":           required("from_json"),
	"jsonb_array_elements":     required("from_json"),

	"jsonb_array_elements_text": required("from_json"),
	"jsonb_each":                required("from_json"),
	"jsonb_each_text":           required("from_json"),

	"jsonb_insert": append(required("jsonb_in", "path", "replacement"), NamedParam{"insert_after", "false"}),
	"jsonb_set":    append(required("jsonb_in", "path", "replacement"), NamedParam{"create_if_missing", "true"}),
	"jsonb_set_lax": append(required("jsonb_in", "path", "replacement"), NamedParam{"create_if_missing", "true"},
		NamedParam{"null_value_treatment", "use_json_null"}),

	"jsonb_path_exists":         pathParams,
	"jsonb_path_exists_tz":      pathParams,
	"jsonb_path_match":          pathParams,
	"jsonb_path_match_tz":       pathParams,
	"jsonb_path_query":          pathParams,
	"jsonb_path_query_tz":       pathParams,
	"jsonb_path_query_array":    pathParams,
	"jsonb_path_query_array_tz": pathParams,
	"jsonb_path_query_first":    pathParams,
	"jsonb_path_query_first_tz": pathParams,

	"parse_ident": {{Name: "str"}, {"strict", "true"}},
}

var pathParams = append(required("target", "path"), NamedParam{"vars", "{}"}, NamedParam{"silent", "false"})

// Params lists the named parameters of a function; nil when calls cannot name them. An overload with fewer arguments takes
// the first ones.
func Params(name string) []NamedParam { return params[name] }
