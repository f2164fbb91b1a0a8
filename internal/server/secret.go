package server

import (
	"path/filepath"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/connector/all"
	"github.com/millrace/millrace/connector/guard"
	"github.com/millrace/millrace/internal/secret"
	"github.com/millrace/millrace/meta/catalog"
)

// openVault finds the secret key. Secrets that it does not open are reported, and do not keep the server from
// starting: ALTER SECRET gives them a new value.
func openVault(cfg Config, store *catalog.Store) (*secret.Vault, error) {
	var key secret.Key
	var err error
	if cfg.SecretKey != "" {
		key, err = secret.ParseKey(cfg.SecretKey)
	} else {
		key, err = secret.KeyFile(filepath.Join(cfg.DataDir, "secret.key"))
	}
	if err != nil {
		return nil, err
	}
	v, err := secret.New(key, store.Snapshot, filepath.Join(cfg.DataDir, "secrets"))
	if err != nil {
		return nil, err
	}
	for _, x := range store.Snapshot().SortedSecrets() {
		if _, err := v.Value(x); err != nil {
			cfg.Logger.Error("secret does not open", "secret", x.Name, "err", err)
		}
	}
	return v, nil
}

// source finds a source connector, with its secrets opened for it.
func (n *Node) source(name string) (connector.Source, error) {
	s, err := all.Source(name)
	if err != nil {
		return nil, err
	}
	return guard.Source(n.Vault, s), nil
}

// sink finds a sink connector likewise.
func (n *Node) sink(name string) (connector.Sink, error) {
	s, err := all.Sink(name)
	if err != nil {
		return nil, err
	}
	return guard.Sink(n.Vault, s), nil
}
