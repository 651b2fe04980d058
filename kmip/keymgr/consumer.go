package keymgr

import (
	"context"

	"kmip-keymgr/protocol"
)

// AddConsumer is not there yet: Castellan 4.0.0 has no consumers.
func (m *Manager) AddConsumer(context.Context, *protocol.Context, *protocol.ChangeConsumer) (*protocol.Done, error) {
	return nil, noConsumers()
}

// RemoveConsumer is not there yet either.
func (m *Manager) RemoveConsumer(context.Context, *protocol.Context, *protocol.ChangeConsumer) (*protocol.Done, error) {
	return nil, noConsumers()
}

func noConsumers() error {
	return &protocol.Error{Kind: protocol.Unsupported, Message: "consumers are not kept"}
}
