// SPDX-License-Identifier: ISC
// Follows the stream at the address given with donovanhide/eventsource, and prints
// each event as a line of JSON.
package main

import (
	"encoding/json"
	"os"

	"github.com/donovanhide/eventsource"
)

func main() {
	stream, err := eventsource.Subscribe(os.Args[1], "")
	if err != nil {
		panic(err)
	}
	go func() {
		for range stream.Errors {
		}
	}()
	out := json.NewEncoder(os.Stdout)
	for event := range stream.Events {
		_ = out.Encode(map[string]string{"type": event.Event(), "data": event.Data(), "id": event.Id()})
	}
}
