// Mochi MQTT on loopback: mochi <port> <folder>. The user is gw, with gw-secret; sessions are kept in a bolt file.
package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/hooks/auth"
	"github.com/mochi-mqtt/server/v2/hooks/storage/bolt"
	"github.com/mochi-mqtt/server/v2/listeners"
)

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func main() {
	server := mqtt.New(&mqtt.Options{Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	must(server.AddHook(new(auth.Hook), &auth.Options{Ledger: &auth.Ledger{
		Auth: auth.AuthRules{{Username: "gw", Password: "gw-secret", Allow: true}},
	}}))
	must(server.AddHook(new(bolt.Hook), &bolt.Options{Path: filepath.Join(os.Args[2], "mochi.bolt")}))
	must(server.AddListener(listeners.NewTCP(listeners.Config{ID: "tcp", Address: "127.0.0.1:" + os.Args[1]})))
	must(server.Serve())
	fmt.Println("ready")
	select {}
}
