package server

import (
	"github.com/millrace/millrace/frontend/session"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/sqlio"
)

// relationSettings returns the settings that a job was created under.
func relationSettings(rel *catalog.Relation) *sqlio.Settings {
	s := sqlio.DefaultSettings()
	for name, value := range rel.Settings {
		// A value that was valid at CREATE stays valid; one that is not leaves the default.
		_ = session.Apply(s, name, value)
	}
	return s
}
