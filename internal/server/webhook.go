package server

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/connector/webhook"
	"github.com/millrace/millrace/frontend/session"
)

// hooks is the HTTP listener for webhooks.
type hooks struct {
	listener net.Listener
	server   *http.Server
	served   chan struct{}
}

// startHooks serves webhooks on an address.
func (s *Server) startHooks(addr string) error {
	l, err := listen(addr)
	if err != nil {
		return err
	}
	h := webhook.New(s.findHook, s.cfg.Logger)
	s.hooks = &hooks{listener: l, served: make(chan struct{}), server: &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 2 * time.Minute,
		IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10}}
	go func() { // stop waits
		defer close(s.hooks.served)
		if err := s.hooks.server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			s.cfg.Logger.Error("stopped listening for webhooks", "err", err)
		}
	}()
	return nil
}

// stop lets requests end within ctx.
func (h *hooks) stop(ctx context.Context) error {
	err := h.server.Shutdown(ctx)
	if err != nil {
		err = h.server.Close()
	}
	<-h.served
	return err
}

// HookAddr returns the address of webhooks; nil when there is no listener.
func (s *Server) HookAddr() net.Addr {
	if s.hooks == nil {
		return nil
	}
	return s.hooks.listener.Addr()
}

func (s *Server) findHook(database, schema, table string) (webhook.Table, error) {
	w, err := s.Sessions.Webhook(database, schema, table)
	if err != nil {
		return nil, err
	}
	return hookTable{w, s.Node}, nil
}

// hookTable adapts a session's webhook to the handler.
type hookTable struct {
	*session.Webhook
	node *Node
}

// Spec implements webhook.Table.
func (t hookTable) Spec() (*connector.SourceSpec, error) {
	r := t.Relation()
	c, _, err := t.node.Vault.Reveal(*r.Connector)
	return &connector.SourceSpec{Name: r.Name, ID: r.ID, Connector: c, Columns: r.Columns, PrimaryKey: r.PrimaryKey,
		Settings: relationSettings(r), Logger: t.node.cfg.Logger}, err
}
