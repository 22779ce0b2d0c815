/** What `status` says of a rum.toml with a mistake, by the daemon and without one. */
export const MISTAKE = "rum.toml has a mistake and cannot be followed; rum config check tells it";
