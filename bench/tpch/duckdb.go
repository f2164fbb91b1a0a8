package tpch

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
)

//go:embed duckdb.py
var duckScript string

// runDuckDB times the queries on DuckDB, where its Python module is installed.
func runDuckDB(ctx context.Context, o Options, files map[string]string) (map[int]Times, error) {
	type table struct {
		Name    string `json:"name"`
		Columns string `json:"columns"`
		File    string `json:"file"`
	}
	var in struct {
		Tables  []table           `json:"tables"`
		Queries map[string]string `json:"queries"`
		Rounds  int               `json:"rounds"`
	}
	for _, t := range tables {
		in.Tables = append(in.Tables, table{t.name, t.columns, files[t.name]})
	}
	in.Queries, in.Rounds = map[string]string{}, o.Rounds
	for n := 1; n <= queryCount; n++ {
		sql, err := Query(n, o.Scale)
		if err != nil {
			return nil, err
		}
		in.Queries[strconv.Itoa(n)] = sql
	}
	arg, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	text, err := exec.CommandContext(ctx, "python3", "-c", duckScript, string(arg)).Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			return nil, fmt.Errorf("not measured: %s", exit.Stderr)
		}
		return nil, fmt.Errorf("not measured: %w", err)
	}
	out := map[int]Times{}
	return out, json.Unmarshal(text, &out)
}
