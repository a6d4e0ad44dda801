"""What a run tells who watches over it, by OpenTelemetry and Prometheus; off unless asked for."""
