import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { PhotoManagementContainer } from "./PhotoManagementContainer";

createRoot(document.getElementById("root")!).render(
  <StrictMode>
    <PhotoManagementContainer />
  </StrictMode>,
);
