// Package jdbc finds the sink that a JDBC address means: connector = 'jdbc' with jdbc.url.
//
// The idea: the address names the database; its sink reads the options itself.
//
// It opens nothing. Start at Sink.
package jdbc

import (
	"context"
	"strings"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/connector/mysqlsink"
	"github.com/millrace/millrace/connector/pgsink"
	"github.com/millrace/millrace/internal/sqlerr"
)

// Sink implements connector.Sink.
type Sink struct{}

func find(spec *connector.SinkSpec) (connector.Sink, error) {
	url := spec.Connector.Options["jdbc.url"]
	switch {
	case strings.HasPrefix(url, "jdbc:postgresql:"):
		return pgsink.Sink{}, nil
	case strings.HasPrefix(url, "jdbc:mysql:"), strings.HasPrefix(url, "jdbc:mariadb:"):
		return mysqlsink.Sink{}, nil
	}
	return nil, sqlerr.New(sqlerr.InvalidParameterValue, "option \"jdbc.url\" must begin with jdbc:postgresql:, jdbc:mysql: or jdbc:mariadb:")
}

// Validate implements connector.Sink.
func (Sink) Validate(ctx context.Context, spec *connector.SinkSpec) error {
	s, err := find(spec)
	if err != nil {
		return err
	}
	return s.Validate(ctx, spec)
}

// Open implements connector.Sink.
func (Sink) Open(ctx context.Context, spec *connector.SinkSpec) (connector.Writer, error) {
	s, err := find(spec)
	if err != nil {
		return nil, err
	}
	return s.Open(ctx, spec)
}
